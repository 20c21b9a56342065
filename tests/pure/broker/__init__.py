"""What is published and consumed, without a broker"""
