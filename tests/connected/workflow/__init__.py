"""The workflow on real servers, beside a simulated Avinode"""
