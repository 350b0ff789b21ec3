"""Pages that decode `.vqc` files in a browser, and the program of these pages in JavaScript."""
