"""HTTP -> gateway.turns -> MessagePosted, MessageAnswered, TripRequested, WebhookReceived ... -> events"""
