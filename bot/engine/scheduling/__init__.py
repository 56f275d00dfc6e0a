"""Who goes next: requests, and the prefill, decode and scoring passes made of them."""
