"""Pictures of answers: PNG by matplotlib, self-contained HTML by plotly."""
