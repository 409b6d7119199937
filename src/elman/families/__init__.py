"""The base classes of the models: what all models share, and what each family of models adds."""
