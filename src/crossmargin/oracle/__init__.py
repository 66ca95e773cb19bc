"""Many quotes become one price, with a status, a half-width and the reasons for all three."""
