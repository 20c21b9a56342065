"""What is made of what, as in `services.gateway.wiring`, on what is kept in dictionaries"""
