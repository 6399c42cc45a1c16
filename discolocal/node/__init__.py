"""The package in which Disco 0.3 and earlier had its worker; see `discolocal.node.worker`."""
