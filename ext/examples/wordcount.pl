#!/usr/bin/env perl
# Word count as one external program: `map` cuts values into words, `reduce` adds up the numbers of each word.
# It needs perl alone. The parameter "at least" leaves out words with a smaller sum.
use strict;
use warnings;

binmode $_ for *STDIN, *STDOUT;
$| = 1;    # send each list at once

sub fail { print STDERR "**<ERR> @_\n"; exit 1 }

# So many bytes of the input, or undef at its end.
sub get {
    my ($size) = @_;
    return '' if $size == 0;
    my $got = read(STDIN, my $data, $size);
    fail("the input cannot be read: $!") unless defined $got;
    return undef if $got == 0;
    fail("the input ends after $got of $size bytes") if $got < $size;
    return $data;
}

sub get_item {
    my ($size) = @_;
    return get(unpack 'V', $size) // fail('the input ends within a pair');
}

sub get_pair {
    my $size = get(4) // return;
    my $key = get_item($size);
    return ($key, get_item(get(4) // fail('the input ends within a pair')));
}

sub get_parameters {
    my $rest = get(scalar <STDIN>) // '';
    my @items;
    while ($rest =~ s/^(\d+) //) {
        push @items, substr $rest, 0, $1;
        substr($rest, 0, $1 + 1) = '';
    }
    return @items;
}

# Takes keys and values in turn.
sub put_list { print pack 'V (V/a*)*', @_ / 2, @_ }

my %parameters = get_parameters();
if ($ARGV[0] eq 'map') {
    while (my ($key, $text) = get_pair()) {
        put_list(map { $_, 1 } split ' ', $text);
    }
} else {
    my %sums;
    while (my ($word, $number) = get_pair()) {
        $sums{$word} += $number;
    }
    my $least = $parameters{'at least'} // 0;
    put_list(map { $_, $sums{$_} } grep { $sums{$_} >= $least } keys %sums);
    print STDERR '**<MSG> ', scalar keys %sums, " different words\n";
}
