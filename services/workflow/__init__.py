"""Trip events and webhooks -> workflow.*, and Avinode -> TripAdvanced, and quotes told by MessagePosted"""
