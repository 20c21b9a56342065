"""A trip as it is shown: as its rows have it, as an order is going to make it, and what became of an order"""
