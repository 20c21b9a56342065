"""A connection to RabbitMQ, its channels, and the topology on it"""
