"""Sessions that others see: by a link, by name, by project"""
