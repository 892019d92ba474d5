"""The report's charts as Vega-Lite specifications. They know the study's results, and no page."""
