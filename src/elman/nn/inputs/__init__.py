"""Encoders of words, numbers and pictures: their vectors are the input of recurrent layers."""
