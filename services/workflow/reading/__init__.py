"""Read trips at Avinode: what a notice points at, whole trips, those that are due without a notice"""
