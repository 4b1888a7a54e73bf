"""A local web page over a dataset: its episodes listed, played, searched and edited."""
