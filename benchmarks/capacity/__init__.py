"""How good forecasts and anomalies are, on counts made for it, with what truly happened beside them."""
