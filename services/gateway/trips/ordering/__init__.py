"""Order a trip, within what somebody may order, and wait until its row says what became of that"""
