"""The BentoML service: http → valuation → champion; contract holds the API's models."""
