"""What golden models, timing models and RTL must agree on: geometry, cycles and field tables."""

__all__: list[str] = []
