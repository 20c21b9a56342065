"""What users did to trips, written as their events come: ordered, changed, released, deleted"""
