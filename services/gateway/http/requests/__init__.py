"""What requests may say on every route, in bodies, fields and queries, and how a field is named that is wrong"""
