"""The modelled systems, one folder each; :mod:`hwsim.models.registry` lists them."""

__all__: list[str] = []
