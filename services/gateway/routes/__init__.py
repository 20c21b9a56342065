"""HTTP in, HTTP out: every route reads its request, asks or tells one part, and answers"""
