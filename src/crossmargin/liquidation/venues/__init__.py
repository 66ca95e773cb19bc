"""Liquidation rules of single venues, as they publish them."""
