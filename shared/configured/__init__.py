"""What settings may say: addresses, files, and other systems' secrets"""
