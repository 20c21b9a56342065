"""Mail proposals to their customers, each at most once"""
