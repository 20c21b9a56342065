"""Models, or experiments, side by side: counted, with intervals, as JSON or CSV"""
