"""Single units of a network: how they are written, which feature they follow, and what changing them does."""
