"""The parts of bench-http and bench-footprint: servers, load, figures, and what the machine did meanwhile."""
