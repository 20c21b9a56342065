"""Private PostgreSQL and RabbitMQ servers, for `./run up` and for tests"""
