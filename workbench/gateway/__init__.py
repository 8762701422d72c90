"""The exchange's side of the house: what happens to an order once it is sent. Imports only core, data and fees."""
