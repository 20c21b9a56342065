"""`/ui`: the pages behind a deep link, on which a person plays operator"""
