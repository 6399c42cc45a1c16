"""Which of the user's modules travel with a job, and which a node would miss (reference 1.7, 8.11)."""
