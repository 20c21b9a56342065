"""What several benchmarks measure alike, and what each measurement must reach"""
