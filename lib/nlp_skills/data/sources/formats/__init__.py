"""How the rows of each file format are read: JSON, delimited text, Excel, Parquet."""
