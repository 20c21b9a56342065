"""What every request meets first and every answer last, whatever it is about; it knows no subject"""
