"""The page with the two boxes, the API, and the endpoints for supervisors and Prometheus."""
