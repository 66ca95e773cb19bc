"""The steps between the versions of a store's tables, the same for both databases."""
