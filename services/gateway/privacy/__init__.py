"""GET /api/me/export, GET /api/config: what is kept of people here, told to them"""
