"""Which trips are listed, to whom, by which plans, and what is shown of each"""
