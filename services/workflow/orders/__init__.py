"""Do at Avinode what users ordered: create a trip there, cancel it"""
