"""What models of one kind share: settings, fit, save and load; then each kind's own way to learn and predict."""
