"""What applications outside tell of their own calls of models: traces as JSON, spans by OTLP"""
