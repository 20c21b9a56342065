"""What describes the gateway: OpenAPI, AsyncAPI, and their pages"""
