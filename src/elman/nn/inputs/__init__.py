"""What turns words, numbers and pictures into vectors that recurrent layers read."""
