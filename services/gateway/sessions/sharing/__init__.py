"""Sessions that others may read: by a link, by name or by project, as their owner gives them and as others see them"""
