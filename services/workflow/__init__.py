"""Trip events and webhooks -> workflow.*, and Avinode -> TripAdvanced, and notes told by MessagePosted"""
