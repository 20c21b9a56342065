"""What the machine gives: programs and packages, ports, locks, files, and children that end with their parent"""
